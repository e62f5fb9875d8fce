import TensorCore

/// The element types that torch names, whether or not we can read tensors of them.
enum TorchElement: String, CaseIterable {
  case float64, float32, float16, bfloat16
  case float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu
  case int64, int32, int16, int8, uint64, uint32, uint16, uint8, bool
  case complex32, complex64, complex128
  case qint8, quint8, qint32, quint4x2, quint2x4

  /// The bytes that one element of a storage takes.
  var size: Int {
    switch self {
    case .complex128: 16
    case .float64, .int64, .uint64, .complex64: 8
    case .float32, .int32, .uint32, .complex32, .qint32: 4
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float8_e4m3fn, .float8_e5m2, .float8_e4m3fnuz, .float8_e5m2fnuz, .float8_e8m0fnu: 1
    case .int8, .uint8, .bool, .qint8, .quint8, .quint4x2, .quint2x4: 1
    }
  }

  /// Our format of the same layout, or nil when there is none.
  var format: TensorFormat? {
    switch self {
    case .float64: .f64
    case .float32: .f32
    case .float16: .f16
    case .bfloat16: .bf16
    case .float8_e4m3fn: .f8_e4m3
    case .float8_e5m2: .f8_e5m2
    case .int64: .i64
    case .int32: .i32
    case .int16: .i16
    case .int8: .i8
    case .uint64: .u64
    case .uint32: .u32
    case .uint16: .u16
    case .uint8: .u8
    case .bool: .bool
    default: nil
    }
  }

  /// The element type of the storage class `torch.<name>`, such as "HalfStorage".
  init?(storageClass name: String) {
    guard let element = TorchElement.storageClasses[name] else { return nil }
    self = element
  }

  private static let storageClasses: [String: TorchElement] = [
    "DoubleStorage": .float64, "FloatStorage": .float32, "HalfStorage": .float16,
    "BFloat16Storage": .bfloat16, "Float8_e4m3fnStorage": .float8_e4m3fn,
    "Float8_e5m2Storage": .float8_e5m2, "LongStorage": .int64, "IntStorage": .int32,
    "ShortStorage": .int16, "CharStorage": .int8, "ByteStorage": .uint8, "BoolStorage": .bool,
    "UInt64Storage": .uint64, "UInt32Storage": .uint32, "UInt16Storage": .uint16,
    "ComplexFloatStorage": .complex64, "ComplexDoubleStorage": .complex128,
    "QInt8Storage": .qint8, "QUInt8Storage": .quint8, "QInt32Storage": .qint32,
    "QUInt4x2Storage": .quint4x2, "QUInt2x4Storage": .quint2x4,
  ]
}

/// A storage that a pickle names: a flat run of elements, whose bytes lie elsewhere in the file.
struct TorchStorage: Hashable {
  /// The name by which the file keeps it.
  let key: String
  /// The element type; nil for a storage of untyped bytes.
  let element: TorchElement?
  /// The number of elements; of bytes for an untyped one.
  let count: Int
  /// The part that this is of the whole storage, in elements: legacy files can name views.
  var view: Range<Int>?

  /// The bytes that the whole storage takes, or nil when that overflows.
  var byteCount: Int? {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: element?.size ?? 1)
    return overflow ? nil : bytes
  }
}

/// A tensor that a pickle builds: a strided view of a storage, unchecked until it is wanted.
struct TorchTensor {
  /// What it is a view of.
  let storage: TorchStorage
  /// The element type; nil when the storage is of untyped bytes and the pickle names no type.
  let element: TorchElement?
  /// The first element, counted in elements of the tensor.
  let offset: Int
  /// The sizes, outermost first.
  let shape: [Int]
  /// The distance between neighbours along each dimension, in elements.
  let strides: [Int]
}
