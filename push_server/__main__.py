"""`python -m push_server` is the `homing` command; the supervisor starts its children so."""

from push_server.cli import main

if __name__ == "__main__":
    main()
