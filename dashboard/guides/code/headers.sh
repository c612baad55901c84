# -i shows the headers of the answer
curl -i {{ base_url }}/v1/chat/completions \
  -H "Authorization: Bearer {{ key }}" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "{{ model }}",
    "max_tokens": 60,
    "messages": [{"role": "user", "content": "Say hello"}]
  }'
