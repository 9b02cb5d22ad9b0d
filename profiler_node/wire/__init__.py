"""The serialized form of a profile, the only place that knows protobuf."""
