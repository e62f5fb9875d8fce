public import TensorCore

/// Why a tensor's bytes could not be decoded or encoded. The caller knows the tensor's name and adds it.
public enum CodingError: Error, Equatable, CustomStringConvertible {
  /// The format holds integers or booleans, not weights.
  case notWeights(TensorFormat)
  /// The format is read but not written.
  case notEncodable(TensorFormat)
  /// Rows are no whole number of blocks, or sizes overflow.
  case rowLength(format: TensorFormat, rows: Int, columns: Int)
  /// The bytes do not match the shape.
  case byteCount(format: TensorFormat, rows: Int, columns: Int, expected: Int, actual: Int)
  /// There is not one importance for each column.
  case importanceCount(expected: Int, actual: Int)
  /// An importance is negative or no finite number.
  case importanceValue(column: Int, value: Float)
  /// A uniform code is beyond what its format stores.
  case codeRange(format: TensorFormat, row: Int, column: Int, code: Int)
  /// A weight is NaN or infinite, so it cannot be quantized.
  case nonFinite(row: Int, column: Int, value: Float)

  /// One line: what, where, the numbers.
  public var description: String {
    switch self {
    case .notWeights(let format): "\(format.rawValue) holds no weights that could be decoded"
    case .notEncodable(let format): "\(format.rawValue) can be read but not written; choose another format"
    case .rowLength(let format, let rows, let columns):
      "\(rows) × \(columns) weights cannot be stored as \(format.rawValue): "
        + "rows must be a multiple of \(format.blockSize) long"
    case .byteCount(let format, let rows, let columns, let expected, let actual):
      "\(rows) × \(columns) weights in \(format.rawValue) take \(expected) bytes, found \(actual)"
    case .importanceCount(let expected, let actual):
      "importance must have one value for each of \(expected) columns, found \(actual)"
    case .importanceValue(let column, let value):
      "importance of column \(column) is \(value); it must be finite and not negative"
    case .codeRange(let format, let row, let column, let code):
      "code \(code) at row \(row), column \(column) is beyond \(format.rawValue)'s "
        + "\(format.highestUniformCode)"
    case .nonFinite(let row, let column, let value):
      "weight at row \(row), column \(column) is \(value); it cannot be quantized"
    }
  }
}
