"""The session console: a session as a folder, its jobs as processes, one window over them."""
