"""The adapters: implementations of the ports of the application."""
