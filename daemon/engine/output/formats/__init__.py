"""The formats that model families answer in, one file a family: text in; text, reasoning and tool calls out."""
