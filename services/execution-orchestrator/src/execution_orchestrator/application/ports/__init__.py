"""The interfaces that the application needs; the adapters implement them."""
