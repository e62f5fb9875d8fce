import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// A matrix of uniform codes, x = r·q·c: columns' scales have a factor, rows' stay as they are, since what reads or writes a row
/// has scales that do the same.
final class CodedUniform: CodedTensor {
  let entry: ParameterLayout.Entry
  let movesCodes: Bool
  let format: TensorFormat
  private let rows, columns: Int
  private let rowScales, columnScales, first, used: NumberBuffer<Float>

  /// The significant bits of a column's scale behind the first: as few as the shipping profile has.
  private static let scaleBits = 7

  var factorCount: Int { columns }
  var columnScalesInUse: NumberBuffer<Float>? { used }

  /// - Returns: nil for another format.
  init?(_ tensor: StoredTensor, _ entry: ParameterLayout.Entry, movesCodes: Bool) throws {
    guard tensor.format == .uniform8 || tensor.format == .uniform16 else { return nil }
    self.entry = entry
    self.movesCodes = movesCodes
    (format, rows, columns) = (tensor.format, tensor.rowCount, tensor.rowLength)
    let parts = UniformTensor.parts(
      of: try tensor.bytes.load(), format: tensor.format, rows: rows, columns: columns)
    rowScales = NumberBuffer(parts.rowScales)
    columnScales = NumberBuffer(parts.columnScales)
    used = columnScales.copy()
    first = NumberBuffer(parts.codes.map { Float($0) })
  }

  func writeCodes(to numbers: UnsafeMutablePointer<Float>) {
    numbers.update(from: first.base, count: rows * columns)
  }

  func writeNumbers(of weights: UnsafePointer<Float>, to numbers: UnsafeMutablePointer<Float>) {
    nonisolated(unsafe) let (weights, numbers) = (weights, numbers)
    let (first, rowScales, columnScales, columns) = (first, rowScales, columnScales, columns)
    forEachRows(rows, columns) { range in
      for row in range {
        for column in 0..<columns {
          let place = row * columns + column
          let number = weights[place] / (rowScales.base[row] * columnScales.base[column])
          numbers[place] = CodedRounding.within(number, of: first.base[place])
        }
      }
    }
  }

  /// A column's scale as it is stored: unchanged where its factor is too small for a step of its few bits.
  private func scale(_ column: Int, _ factors: UnsafePointer<Float>) -> Float {
    let before = columnScales.base[column]
    let factor = factors[column]
    guard factor != 0, before != 0 else { return before }
    let wanted = before * (1 + factor)
    let unit = Float(sign: .plus, exponent: wanted.exponent - Self.scaleBits, significand: 1)
    let short = ScaleFields.rounded((wanted / unit).rounded(.toNearestOrEven) * unit)
    let after = abs(wanted - before) < unit / 2 ? before : short
    return after.isFinite && after != 0 ? after : before
  }

  private func scales(_ factors: UnsafePointer<Float>) -> NumberBuffer<Float> {
    NumberBuffer((0..<columns).map { scale($0, factors) })
  }

  func write(
    codes: UnsafePointer<Float>, factors: UnsafePointer<Float>, to weights: UnsafeMutablePointer<Float>
  ) {
    nonisolated(unsafe) let (codes, weights) = (codes, weights)
    let (scales, rowScales, columns) = (scales(factors), rowScales, columns)
    used.take(scales)
    let top = Float(format.highestUniformCode)
    forEachRows(rows, columns) { range in
      for row in range {
        let (line, from, scale) = (weights + row * columns, codes + row * columns, rowScales.base[row])
        for column in 0..<columns {
          let code = CodedRounding.whole(min(max(from[column], -top), top))
          line[column] = scale * code * scales.base[column]
        }
      }
    }
  }

  func pull(
    _ gradient: UnsafeMutablePointer<Float>, codes: UnsafePointer<Float>, factors: UnsafePointer<Float>,
    factorGradient: UnsafeMutablePointer<Float>
  ) {
    nonisolated(unsafe) let (codes, gradient, slopes) = (codes, gradient, factorGradient)
    let (rows, columns, moves) = (rows, columns, movesCodes)
    let (rowScales, columnScales) = (rowScales, columnScales)
    let strip = 64
    Parallel.forEach((columns + strip - 1) / strip) { index in
      let range = index * strip..<min(columns, (index + 1) * strip)
      for column in range { slopes[column] = 0 }
      for row in 0..<rows {
        let (slope, code, scale) = (gradient + row * columns, codes + row * columns, rowScales.base[row])
        for column in range {
          slopes[column] +=
            slope[column] * scale * CodedRounding.whole(code[column]) * columnScales.base[column]
        }
      }
    }
    forEachRows(rows, columns) { range in
      for row in range {
        let (line, scale) = (gradient + row * columns, moves ? rowScales.base[row] : 0)
        for column in 0..<columns { line[column] *= scale * columnScales.base[column] }
      }
    }
  }

  func stored(codes: UnsafePointer<Float>, factors: UnsafePointer<Float>, margin: Float) throws
    -> (format: TensorFormat, bytes: ByteRegion)
  {
    let top = Float(format.highestUniformCode)
    let whole = (0..<rows * columns).map { place -> Int16 in
      let code =
        movesCodes
        ? CodedRounding.code(codes[place], from: first.base[place], margin: margin) : first.base[place]
      return Int16(min(max(code, -top), top))
    }
    let tensor = try UniformTensor(
      codes: whole, rowScales: rowScales.array, columnScales: scales(factors).array, format: format)
    return (tensor.format, tensor.bytes)
  }
}
