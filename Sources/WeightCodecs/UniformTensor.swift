internal import CKernels
public import TensorCore

/// A matrix of uniform codes with row and column scales, x = r·q·c, put together from codes that were chosen for the
/// whole matrix.
public struct UniformTensor: Sendable {
  /// The format: `uniform8` where all codes are within ±127, else `uniform16`.
  public let format: TensorFormat
  /// The rows and the column scales behind them.
  public let bytes: ByteRegion

  /// Stores codes with their scales, which are rounded to half precision (see ``storedScales(rows:columns:)``).
  ///
  /// - Parameters:
  ///   - codes: one a weight, row by row.
  ///   - rowScales: r, one a row.
  ///   - columnScales: c, one a column.
  ///   - format: `uniform8` or `uniform16`; nil for the smaller that holds the codes.
  /// - Throws: ``CodingError`` when a code does not fit the format or a scale is NaN or infinite.
  /// - Precondition: the counts agree.
  public init(
    codes: [Int16], rowScales: [Float], columnScales: [Float], format: TensorFormat? = nil
  ) throws(CodingError) {
    let (rows, columns) = (rowScales.count, columnScales.count)
    precondition(codes.count == rows * columns, "one code for each weight")
    let format = format ?? UniformTensor.format(holding: codes)
    if let bad = codes.firstIndex(where: { Int($0.magnitude) > format.highestUniformCode }) {
      throw .codeRange(format: format, row: bad / columns, column: bad % columns, code: Int(codes[bad]))
    }
    if let row = rowScales.firstIndex(where: { !$0.isFinite }) {
      throw .nonFinite(row: row, column: 0, value: rowScales[row])
    }
    if let column = columnScales.firstIndex(where: { !$0.isFinite }) {
      throw .nonFinite(row: 0, column: column, value: columnScales[column])
    }
    let (bytesPerRow, total) = try byteCounts(format, rows: rows, columns: columns)
    self.format = format
    bytes = ByteRegion(count: total) { target in
      for row in 0..<rows {
        let part = UnsafeMutableRawBufferPointer(
          rebasing: target[row * bytesPerRow..<(row + 1) * bytesPerRow])
        part.storeBytes(of: ck_float_to_half(rowScales[row]).littleEndian, as: UInt16.self)
        for column in 0..<columns {
          part.storeUniformCode(codes[row * columns + column], column, as: format)
        }
      }
      for column in 0..<columns {
        target.storeBytes(
          of: ck_float_to_half(columnScales[column]).littleEndian,
          toByteOffset: rows * bytesPerRow + 2 * column, as: UInt16.self)
      }
    }
  }

  /// The smaller format that holds all of `codes`.
  public static func format(holding codes: [Int16]) -> TensorFormat {
    codes.allSatisfy { $0.magnitude <= 127 } ? .uniform8 : .uniform16
  }

  /// The scales that a file will hold, so that codes can be rounded on the grid that is stored: columns around 1 by a
  /// power of two that rows take up, then both to half precision.
  ///
  /// - Parameter significantBits: of a scale's significand, 1 to 11. Codes that are rounded on the grid of coarser scales are
  ///   as good, and an artifact has fewer bits to store for them.
  ///
  /// A column that is 2¹⁴ times finer than the middle one loses bits, one that is 2²⁴ times finer becomes zero.
  public static func storedScales(
    rows: [Float], columns: [Float], significantBits: Int = 11
  ) -> (rows: [Float], columns: [Float]) {
    let sizes = columns.map { abs($0) }.filter { $0 > 0 && $0.isFinite }.sorted()
    let middle = sizes.isEmpty ? 1 : sizes[sizes.count / 2]
    let unit = Float(sign: .plus, exponent: middle.exponent, significand: 1)
    func stored(_ value: Float) -> Float {
      guard value != 0, value.isFinite else { return value }
      let places = Float(sign: .plus, exponent: value.exponent - significantBits + 1, significand: 1)
      return ck_half_to_float(ck_float_to_half((value / places).rounded(.toNearestOrEven) * places))
    }
    return (rows.map { stored($0 * unit) }, columns.map { stored($0 / unit) })
  }
}
