curl {{ base_url }}/v1/models \
  -H "Authorization: Bearer {{ key }}"
