"""`python -m stage1_localizer`: the same as the console script."""

from stage1_localizer.cli import main

if __name__ == "__main__":
    main()
