"""An HTTP server that transcribes recordings and live audio through OpenAI's API."""
