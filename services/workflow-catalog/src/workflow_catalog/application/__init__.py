"""What callers can do, and the ports to the outside."""
