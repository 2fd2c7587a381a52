"""Small tools that know neither a network nor a database."""
