"""How things look. Everything here takes what the SDK returns and gives what rich prints; nothing is fetched.

`examples` use it too: `watch_view` shows any execution live, on a terminal or in a log.
"""
