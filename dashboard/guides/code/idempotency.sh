# Sent twice with the same key of your choice, it is worked and charged once
curl {{ base_url }}/v1/chat/completions \
  -H "Authorization: Bearer {{ key }}" \
  -H "Idempotency-Key: order-1742-summary" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "{{ model }}",
    "messages": [{"role": "user", "content": "Say hello"}]
  }'
