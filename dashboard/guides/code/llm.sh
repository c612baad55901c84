llm keys set {{ short_name }} --value "{{ key }}"
cat >> "$(dirname "$(llm logs path)")/extra-openai-models.yaml" <<'YAML'
- model_id: {{ model }}
  model_name: {{ model }}
  api_base: {{ base_url }}/v1
  api_key_name: {{ short_name }}
YAML
llm -m {{ model }} "Say hello"
