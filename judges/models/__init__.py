"""What can stand behind `judges.model.ChatModel`: servers by HTTP, and the fake."""
