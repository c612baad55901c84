curl {{ base_url }}/v1/balance \
  -H "Authorization: Bearer {{ key }}"
