# The same key in each of the three headers that clients use
curl {{ base_url }}/v1/models -H "Authorization: Bearer {{ key }}"
curl {{ base_url }}/v1/models -H "X-API-Key: {{ key }}"
curl {{ base_url }}/v1/models -H "x-goog-api-key: {{ key }}"
