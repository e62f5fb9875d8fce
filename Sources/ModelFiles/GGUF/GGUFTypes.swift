public import TensorCore

/// ggml's numbers for tensor types (`enum ggml_type`), as GGUF files store them.
public enum GGUFTypes {
  /// The format of the type numbered `number`; nil when there is none that we read.
  public static func format(of number: UInt32) -> TensorFormat? { formats[number] }

  /// The number that GGUF uses for `format`; nil when GGUF has no such type.
  public static func number(of format: TensorFormat) -> UInt32? { numbers[format] }

  /// ggml's name of the type, whether we read it or not; nil for a number that ggml does not use (any more).
  public static func name(of number: UInt32) -> String? {
    formats[number].map { $0.rawValue.uppercased() } ?? unread[number]
  }

  private static let formats: [UInt32: TensorFormat] = [
    0: .f32, 1: .f16, 2: .q4_0, 3: .q4_1, 6: .q5_0, 7: .q5_1, 8: .q8_0,
    10: .q2_k, 11: .q3_k, 12: .q4_k, 13: .q5_k, 14: .q6_k, 20: .iq4_nl, 23: .iq4_xs,
    24: .i8, 25: .i16, 26: .i32, 27: .i64, 28: .f64, 30: .bf16,
  ]
  private static let numbers = Dictionary(uniqueKeysWithValues: formats.map { ($1, $0) })

  /// Types that ggml has or had and we do not read, so that messages can name them.
  private static let unread: [UInt32: String] = [
    4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    21: "IQ3_S", 22: "IQ2_S", 29: "IQ1_M", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0",
    35: "TQ2_0", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
    42: "Q2_0",
  ]

  /// Every type that GGUF can store and we can read.
  public static var all: [TensorFormat] { TensorFormat.allCases.filter { numbers[$0] != nil } }
}

/// The numbers of metadata value types (GGUF specification, `gguf_metadata_value_type`).
enum GGUFValueType: UInt32 {
  case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// The fewest bytes that a value takes; what an array's length is checked against.
  var minimumSize: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .string, .uint64, .int64, .float64: 8
    case .array: 12
    }
  }
}

extension GGUFValue {
  /// The type that a file stores for the value.
  var type: GGUFValueType {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .float32: .float32
    case .bool: .bool
    case .string, .bytes: .string
    case .uint64: .uint64
    case .int64: .int64
    case .float64: .float64
    case .strings, .float32s, .int32s, .array: .array
    }
  }

  /// The whole number, whatever its width, or nil.
  public var intValue: Int? {
    switch self {
    case .uint8(let value): Int(value)
    case .int8(let value): Int(value)
    case .uint16(let value): Int(value)
    case .int16(let value): Int(value)
    case .uint32(let value): Int(value)
    case .int32(let value): Int(value)
    case .uint64(let value): Int(exactly: value)
    case .int64(let value): Int(value)
    default: nil
    }
  }

  /// The number, whole or not, or nil.
  public var doubleValue: Double? {
    switch self {
    case .float32(let value): Double(value)
    case .float64(let value): value
    default: intValue.map(Double.init)
    }
  }

  /// The string, or nil.
  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }

  /// The boolean, or nil.
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// The strings of an array of strings, or nil. Where one is not valid UTF-8, its bad bytes become U+FFFD.
  public var stringsValue: [String]? {
    switch self {
    case .strings(let values): return values
    case .array(let values, GGUFValueType.string.rawValue):
      return values.compactMap { value in
        if case .bytes(let bytes) = value {
          String(decoding: bytes, as: UTF8.self)
        } else {
          value.stringValue
        }
      }
    default: return nil
    }
  }

  /// The numbers of an array of whole numbers of any width, or nil.
  public var intsValue: [Int]? {
    switch self {
    case .int32s(let values): return values.map(Int.init)
    case .array(let values, _):
      let numbers = values.compactMap(\.intValue)
      return numbers.count == values.count ? numbers : nil
    default: return nil
    }
  }

  /// The numbers of an array of numbers of any kind, or nil.
  public var doublesValue: [Double]? {
    switch self {
    case .float32s(let values): return values.map(Double.init)
    case .int32s(let values): return values.map(Double.init)
    case .array(let values, _):
      let numbers = values.compactMap(\.doubleValue)
      return numbers.count == values.count ? numbers : nil
    default: return nil
    }
  }
}

extension [GGUFEntry] {
  /// The value of `key`, or nil.
  public subscript(key: String) -> GGUFValue? { first { $0.key == key }?.value }
}
