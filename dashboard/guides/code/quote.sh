# The very body of a call: it is priced and never sent
curl {{ base_url }}/v1/quote \
  -H "Authorization: Bearer {{ key }}" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "{{ model }}",
    "max_tokens": 60,
    "messages": [{"role": "user", "content": "Say hello"}]
  }'
