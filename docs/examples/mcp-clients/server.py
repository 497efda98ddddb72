"""An ordinary MCP server of the official Python SDK, which knows nothing of Taskpass: `python server.py`, on port 8000."""

from mcp.server.mcpserver import MCPServer

mcp = MCPServer("tickets")


@mcp.tool()
def search_tickets(query: str, limit: int = 10) -> str:
    """Finds tickets that have the words of the query."""
    return f"{limit} tickets at most for '{query}'"


@mcp.tool()
def close_ticket(id: int) -> str:
    """Closes a ticket, which mails the customer."""
    return f"ticket {id} is closed"


mcp.run(transport="streamable-http", host="127.0.0.1", port=8000)
