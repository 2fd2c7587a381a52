"""What the application needs of the world; the adapters implement it."""
