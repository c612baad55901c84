"""The pages for people: paying, the 3-D Secure step, receipts, invoices, the customer portal, events and control."""
