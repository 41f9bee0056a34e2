"""Clients of the service, and reward functions over them. Nothing of the service is loaded.

from service.client.sync import Client
with Client("http://127.0.0.1:8000") as charter:
    line = charter.rank("helpful-harmless", prompt="What is tea?", completions=["A drink.", "No."])
    for line in charter.stream("score", "helpful-harmless", items):
        ...
"""
