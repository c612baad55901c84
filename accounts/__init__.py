"""Who is asking: storefronts, people, organizations, memberships, API keys, and the trail of what they did."""
