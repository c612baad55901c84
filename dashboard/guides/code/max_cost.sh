# A call that could cost more is shortened, or refused where it cannot be
curl {{ base_url }}/v1/chat/completions \
  -H "Authorization: Bearer {{ key }}" \
  -H "X-Max-Cost: 0.05" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "{{ model }}",
    "messages": [{"role": "user", "content": "Say hello"}]
  }'
