"""The command line: one small file per command, put together in `app.py`."""
