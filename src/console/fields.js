// The fields of a source that people set, in the order of the form.

// `suggest` offers the values of other sources; `shown` is the field that the page of a source shows.
export const FIELDS = [
  { name: "country", label: "Country", suggest: true },
  { name: "data_vendor", label: "Vendor", suggest: true },
  { name: "panel", label: "Panel", suggest: true },
  { name: "panel_group", label: "Panel group", suggest: true, initial: "DKM" },
  { name: "data_type", label: "Data type", suggest: true },
  { name: "granularity", label: "Granularity", suggest: true, initial: "National" },
  { name: "scope_of_subscription", label: "Scope of subscription", suggest: true },
  { name: "status", label: "Status", initial: "active" },
  { name: "current_update", label: "Current update", type: "date" },
  { name: "next_update", label: "Next update", type: "date", shown: "next_status" },
  { name: "end_date", label: "End of subscription", type: "date" },
  { name: "created_by", label: "Created by" },
];
