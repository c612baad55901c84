"""The fields that are there and empty in our objects, kind by kind, so that the makers name only what they fill."""

from typing import Any

_EMPTY = {
    "balance_transaction": "description exchange_rate source",
    "billing_portal.session": ("after_expiration customer_account flow locale on_behalf_of return_url"),
    "charge": (
        "application application_fee application_fee_amount authorization_code balance_transaction "
        "calculated_statement_descriptor customer description failure_balance_transaction failure_code failure_message "
        "on_behalf_of outcome payment_intent payment_method payment_method_details presentment_details radar_options "
        "receipt_email receipt_number receipt_url review shipping source source_transfer statement_descriptor "
        "statement_descriptor_suffix transfer_data transfer_group"
    ),
    "checkout.session": (
        "adaptive_pricing after_expiration allow_promotion_codes allowed_payment_method_types amount_subtotal "
        "amount_total billing_address_collection branding_settings cancel_url client_reference_id client_secret "
        "collected_information consent consent_collection currency currency_conversion customer customer_account "
        "customer_creation customer_details customer_email excluded_payment_method_types integration_identifier "
        "invoice invoice_creation locale managed_payments name_collection optional_items origin_context payment_intent "
        "payment_link payment_method_collection payment_method_configuration_details permissions presentment_details "
        "recovered_from redirect_on_completion return_url saved_payment_method_options setup_intent "
        "shipping_address_collection shipping_cost submit_type subscription success_url tax_id_collection "
        "total_details url wallet_options"
    ),
    "coupon": "amount_off applies_to currency duration_in_months max_redemptions name percent_off redeem_by",
    "customer": (
        "address business_name currency customer_account default_source description discount email individual_name "
        "name phone shipping test_clock"
    ),
    "discount": (
        "checkout_session customer customer_account end invoice invoice_item promotion_code subscription "
        "subscription_item"
    ),
    "dispute": "intended_submission_method network_reason_code payment_intent",
    "invoice": (
        "account_name account_tax_ids amount_paid_off_stripe application automatically_finalizes_at billing_reason "
        "confirmation_secret custom_fields customer customer_account customer_address customer_email customer_name "
        "customer_phone customer_shipping default_payment_method default_source description due_date effective_at "
        "ending_balance footer from_invoice hosted_invoice_url invoice_pdf last_finalization_error latest_revision "
        "next_payment_attempt number on_behalf_of parent receipt_number rendering shipping_cost shipping_details "
        "statement_descriptor status_details test_clock threshold_reason webhooks_delivered_at"
    ),
    "line_item": "parent pricing quantity_decimal subscription",
    "payment_intent": (
        "allowed_payment_method_types application application_fee_amount automatic_payment_methods canceled_at "
        "cancellation_reason client_secret customer customer_account description excluded_payment_method_types hooks "
        "last_payment_error latest_charge managed_payments next_action on_behalf_of payment_details payment_method "
        "payment_method_configuration_details payment_record presentment_details processing receipt_email review "
        "setup_future_usage shipping source statement_descriptor statement_descriptor_suffix transfer_data "
        "transfer_group"
    ),
    "payment_method": "customer customer_account radar_options",
    "price": (
        "custom_unit_amount lookup_key nickname recurring tiers_mode transform_quantity unit_amount unit_amount_decimal"
    ),
    "product": (
        "default_price description package_dimensions shippable statement_descriptor tax_code tax_details unit_label "
        "url"
    ),
    "promotion_code": "customer customer_account expires_at max_redemptions",
    "refund": (
        "balance_transaction charge customer customer_account description destination_details "
        "failure_balance_transaction failure_reason instructions_email next_action payment_intent payment_method "
        "pending_reason presentment_details reason receipt_number source_transfer_reversal transfer_reversal"
    ),
    "setup_intent": (
        "allowed_payment_method_types application attach_to_self automatic_payment_methods cancellation_reason "
        "client_secret customer customer_account description excluded_payment_method_types flow_directions "
        "last_setup_error latest_attempt managed_payments mandate next_action on_behalf_of payment_method "
        "payment_method_configuration_details payment_method_options single_use_mandate"
    ),
    "webhook_endpoint": "api_version application description",
}
_WITHOUT_MODE = {"balance_transaction", "discount", "item", "refund"}
_FIELDS = {kind: words.split() for kind, words in _EMPTY.items()}


def blank(kind: str, **filled: Any) -> dict[str, Any]:
    """An object of a kind with nothing but empty fields and what is given."""
    body: dict[str, Any] = {"id": None, "object": kind, **dict.fromkeys(_FIELDS.get(kind, ()))}
    if kind not in _WITHOUT_MODE:
        body["livemode"] = False
    return {**body, **filled}


def address(**given: Any) -> dict[str, Any]:
    """A postal address, mostly unknown."""
    return {**dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state")), **given}
