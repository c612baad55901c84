mkdir -p ~/.codex
cat > ~/.codex/config.toml <<'TOML'
model = "{{ model }}"
model_provider = "{{ short_name }}"

[model_providers.{{ short_name }}]
name = "{{ short_name }}"
base_url = "{{ base_url }}/v1"
env_key = "SHOP_API_KEY"
wire_api = "responses"
TOML
export SHOP_API_KEY="{{ key }}"
codex exec --skip-git-repo-check "Say hello"
