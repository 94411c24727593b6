"""Training one fold, in one process or several, and what it leaves behind."""
