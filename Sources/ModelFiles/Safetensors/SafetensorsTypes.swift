public import TensorCore

/// safetensors' names of data types.
public enum SafetensorsTypes {
  /// The format that `name` stands for; nil when there is none that we read.
  public static func format(of name: String) -> TensorFormat? { formats[name] }

  /// The name that safetensors uses for `format`; nil for quantized blocks, which it cannot store.
  public static func name(of format: TensorFormat) -> String? { names[format] }

  /// Types that newer versions of safetensors define and we do not read, so that messages can tell them from nonsense.
  static let unread: Set<String> = [
    "F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "C64", "C128", "F8_E4M3FNUZ", "F8_E5M2FNUZ",
  ]

  private static let formats: [String: TensorFormat] = [
    "F64": .f64, "F32": .f32, "F16": .f16, "BF16": .bf16, "F8_E4M3": .f8_e4m3, "F8_E5M2": .f8_e5m2,
    "I64": .i64, "I32": .i32, "I16": .i16, "I8": .i8, "U64": .u64, "U32": .u32, "U16": .u16, "U8": .u8,
    "BOOL": .bool,
  ]
  private static let names = Dictionary(uniqueKeysWithValues: formats.map { ($1, $0) })

  /// The order in which safetensors' own writers sort tensors: the largest elements first, then by name.
  static let alignmentOrder: [TensorFormat] = [
    .u64, .i64, .f64, .f32, .u32, .i32, .bf16, .f16, .u16, .i16, .f8_e4m3, .f8_e5m2, .i8, .u8, .bool,
  ]
}
