"""Pictures of pages that a server in a sandbox serves, by Chromium, in a container or room of the browser's own.

What a page runs in a browser comes from the untrusted side, and may break the browser. So the browser never runs where evidence
is kept, holds nothing, and hands out pixels; who asked for them believes nothing else of it (docs/adr/0039).
"""
