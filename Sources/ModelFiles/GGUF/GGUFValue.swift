/// A typed value of GGUF metadata (GGUF specification, section "Metadata").
public enum GGUFValue: Sendable, Equatable {
  case uint8(UInt8), int8(Int8), uint16(UInt16), int16(Int16), uint32(UInt32), int32(Int32)
  case float32(Float), bool(Bool), string(String)
  case uint64(UInt64), int64(Int64), float64(Double)
  /// A string that is not valid UTF-8, kept as its bytes.
  case bytes([UInt8])
  /// Arrays of the three kinds that vocabularies use keep their elements unboxed.
  case strings([String]), float32s([Float]), int32s([Int32])
  /// Any other array, and its element type's number.
  case array([GGUFValue], elementType: UInt32)
}

/// One key with its value.
public struct GGUFEntry: Sendable, Equatable {
  /// The key, such as "llama.block_count".
  public var key: String
  /// The value.
  public var value: GGUFValue

  /// A pair.
  public init(_ key: String, _ value: GGUFValue) {
    self.key = key
    self.value = value
  }
}
