"""Turn what the SDK returns into what rich prints. Nothing here fetches data.

The examples use it too: `watch_view` shows any execution live, on a terminal or in a log.
"""
