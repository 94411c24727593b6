"""`python -m stage2_multitask`: the same as the console script."""

from stage2_multitask.cli import main

if __name__ == "__main__":
    main()
