"""Settings of all tests."""

import signal

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)  # a busy machine is not a failure
settings.load_profile("no deadline")

# A shell starts what it puts in the background deaf to Ctrl-C, and every process that such a test run starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
