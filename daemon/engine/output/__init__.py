"""Token ids to what clients read: text, reasoning, tool calls."""
