"""OpenAI's Responses API: answers whole and streamed, and those that are kept in memory."""
