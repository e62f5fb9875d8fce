import ModelFiles
import Models
import TensorCore
import WeightCodecs

/// A matrix in a block format, x = scale · level(code) + offset: each block's half-precision numbers have a factor.
final class CodedGrid: CodedTensor {
  let entry: ParameterLayout.Entry
  let movesCodes: Bool
  let format: TensorFormat
  private let rows, columns, groups: Int
  private let codec: any GridCodec
  private let grid: CodeGrid
  private let fields: ScaleFields
  private let bytes: ByteRegion
  /// Scales and offsets of groups, and the fields that they hang on, as they were.
  private let scales, offsets, numbers: NumberBuffer<Float>
  private let levels, first: NumberBuffer<Float>

  var factorCount: Int { fields.count }
  /// What is added to a code's number for its place among the levels.
  private var shift: Int { grid.isUniform ? -Int(grid.levels[0]) : 0 }
  private var lowest: Float { Float(-shift) }
  private var highest: Float { Float(grid.levels.count - 1 - shift) }

  /// - Returns: nil for a format whose codes or scales cannot be changed apart from each other.
  init?(_ tensor: StoredTensor, _ entry: ParameterLayout.Entry, movesCodes: Bool) throws {
    let (rows, columns) = (tensor.rowCount, tensor.rowLength)
    guard let codec = CodecList.gridCodec(for: tensor.format),
      let fields = ScaleFields(tensor.format, rows: rows, columns: columns), !codec.grid.levels.isEmpty
    else { return nil }
    self.entry = entry
    self.movesCodes = movesCodes
    (format, self.rows, self.columns) = (tensor.format, rows, columns)
    (self.codec, grid, self.fields) = (codec, codec.grid, fields)
    groups = (columns + grid.groupLength - 1) / grid.groupLength
    bytes = try tensor.bytes.load()
    let rowBytes = bytes.count / max(1, rows)
    scales = NumberBuffer(rows * groups)
    offsets = NumberBuffer(rows * groups)
    for row in 0..<rows {
      codec.readScales(
        UnsafeRawBufferPointer(start: bytes.base + row * rowBytes, count: rowBytes), columns: columns,
        scales: scales.base + row * groups, offsets: offsets.base + row * groups)
    }
    numbers = NumberBuffer(fields.read(bytes))
    levels = NumberBuffer(grid.levels)
    first = NumberBuffer(rows * columns, isZeroed: false)
    let values = try tensor.values()
    for row in 0..<rows {
      for column in 0..<columns {
        let group = row * groups + column / grid.groupLength
        let scale = scales.base[group]
        let level = scale == 0 ? 0 : (values[row * columns + column] - offsets.base[group]) / scale
        first.base[row * columns + column] = Self.number(level, grid)
      }
    }
  }

  /// The number of the level nearest to `level`.
  private static func number(_ level: Float, _ grid: CodeGrid) -> Float {
    let levels = grid.levels
    if grid.isUniform { return min(max(level.rounded(), levels[0]), levels[levels.count - 1]) }
    let nearest = levels.indices.min { abs(levels[$0] - level) < abs(levels[$1] - level) }
    return Float(nearest ?? 0)
  }

  func writeCodes(to numbers: UnsafeMutablePointer<Float>) {
    numbers.update(from: first.base, count: rows * columns)
  }

  func writeNumbers(of weights: UnsafePointer<Float>, to numbers: UnsafeMutablePointer<Float>) {
    nonisolated(unsafe) let (weights, numbers) = (weights, numbers)
    let (first, scales, offsets, columns) = (first, scales, offsets, columns)
    forEachGroup { row, group, _, range in
      let (scale, offset) = (scales.base[group], offsets.base[group])
      for column in range {
        let place = row * columns + column
        let level = scale == 0 ? .nan : (weights[place] - offset) / scale
        numbers[place] = CodedRounding.within(self.between(level), of: first.base[place])
      }
    }
  }

  /// The number of `level`, between the codes of the levels around it.
  private func between(_ level: Float) -> Float {
    guard !grid.isUniform, level.isFinite else { return level }
    let count = grid.levels.count
    var place = 0
    while place < count - 2, levels.base[place + 1] <= level { place += 1 }
    let (low, high) = (levels.base[place], levels.base[place + 1])
    return Float(place) + (level - low) / (high - low)
  }

  /// What a field is multiplied by: its factor, as half precision has the product.
  private func factor(_ place: Int, _ factors: UnsafePointer<Float>) -> Float {
    let number = numbers.base[place]
    guard number != 0 else { return 1 }
    let product = ScaleFields.rounded(number * (1 + factors[place]))
    return product.isFinite ? product / number : 1
  }

  @inline(__always) private func level(_ number: Float) -> Float {
    let code = CodedRounding.whole(min(max(number, lowest), highest))
    return grid.isUniform ? code : levels.base[Int(code)]
  }

  func write(
    codes: UnsafePointer<Float>, factors: UnsafePointer<Float>, to weights: UnsafeMutablePointer<Float>
  ) {
    nonisolated(unsafe) let (codes, factors, weights) = (codes, factors, weights)
    let (low, high, isUniform) = (lowest, highest, grid.isUniform)
    forEachGroup { row, group, block, range in
      let place = block * fields.perBlock
      let scale = scales.base[group] * factor(place, factors)
      let offset =
        fields.perBlock > 1 ? offsets.base[group] * factor(place + 1, factors) : offsets.base[group]
      let start = row * columns
      for column in range {
        let code = CodedRounding.whole(min(max(codes[start + column], low), high))
        weights[start + column] = scale * (isUniform ? code : levels.base[Int(code)]) + offset
      }
    }
  }

  func pull(
    _ gradient: UnsafeMutablePointer<Float>, codes: UnsafePointer<Float>, factors: UnsafePointer<Float>,
    factorGradient: UnsafeMutablePointer<Float>
  ) {
    nonisolated(unsafe) let (codes, gradient, slopes) = (codes, gradient, factorGradient)
    slopes.update(repeating: 0, count: factorCount)
    let moves = movesCodes
    forEachGroup { row, group, block, range in
      let (scale, offset, start) = (scales.base[group], offsets.base[group], row * columns)
      var (product, sum) = (Float(0), Float(0))
      for column in range {
        let slope = gradient[start + column]
        product += slope * level(codes[start + column])
        sum += slope
        gradient[start + column] = moves ? slope * scale : 0
      }
      slopes[block * fields.perBlock] += product * scale
      if fields.perBlock > 1 { slopes[block * fields.perBlock + 1] += sum * offset }
    }
  }

  /// Calls `body` with each group: its row, its place, its block's place, its columns. A row's groups come one after the other.
  private func forEachGroup(_ body: @Sendable (Int, Int, Int, Range<Int>) -> Void) {
    let (length, groups, columns) = (grid.groupLength, groups, columns)
    let (blocks, blockLength) = (fields.blocks, fields.length)
    forEachRows(rows, columns) { range in
      for row in range {
        for group in 0..<groups {
          let begin = group * length
          body(
            row, row * groups + group, row * blocks + begin / blockLength,
            begin..<(columns - begin > length ? begin + length : columns))
        }
      }
    }
  }

  func stored(codes: UnsafePointer<Float>, factors: UnsafePointer<Float>, margin: Float) throws
    -> (format: TensorFormat, bytes: ByteRegion)
  {
    let values = (0..<fields.count).map { place -> Float in
      let number = numbers.base[place]
      return number == 0 ? 0 : number * factor(place, factors)
    }
    let result = ByteRegion(count: bytes.count) { target in
      target.copyMemory(from: UnsafeRawBufferPointer(start: bytes.base, count: bytes.count))
      fields.store(values, into: target)
      guard movesCodes else { return }
      let rowBytes = bytes.count / max(1, rows)
      var line = [UInt8](repeating: 0, count: columns)
      for row in 0..<rows {
        for column in 0..<columns {
          let place = row * columns + column
          let code = CodedRounding.code(codes[place], from: first.base[place], margin: margin)
          line[column] = UInt8(Int(min(max(code, lowest), highest)) + shift)
        }
        codec.storeCodes(
          line, columns: columns,
          into: UnsafeMutableRawBufferPointer(rebasing: target[row * rowBytes..<(row + 1) * rowBytes]))
      }
    }
    return (format, result)
  }
}
