public import TensorCore

/// The values that the codes of a group can stand for: x = scale · level(code) + offset.
public struct CodeGrid: Sendable, Equatable {
  /// The weights that share a scale and an offset.
  public var groupLength: Int
  /// The level of each code, ascending. Codes start at 0.
  public var levels: [Float]
  /// Whether levels are consecutive integers.
  public var isUniform: Bool

  /// Consecutive integers from `low` to `high`.
  public init(groupLength: Int, low: Int, high: Int) {
    self.groupLength = groupLength
    levels = (low...high).map { Float($0) }
    isUniform = true
  }

  /// Levels of a table, ascending.
  public init(groupLength: Int, table: [Float]) {
    self.groupLength = groupLength
    levels = table
    isUniform = false
  }
}

/// A format whose codes can be chosen apart from its scales, as rounding with error feedback does.
///
/// ``WeightCodec/encode(_:importance:into:)`` fits the scales; then each weight's code may be replaced by any other.
public protocol GridCodec: WeightCodec {
  /// The values that codes stand for.
  var grid: CodeGrid { get }

  /// The scale and the offset of each group of an encoded row, exactly as a decoder uses them.
  ///
  /// - Parameters:
  ///   - scales: `columns / grid.groupLength` numbers (rounded up), all written.
  ///   - offsets: as many, all written; zeros for formats without.
  func readScales(
    _ bytes: UnsafeRawBufferPointer, columns: Int, scales: UnsafeMutablePointer<Float>,
    offsets: UnsafeMutablePointer<Float>)

  /// Replaces the codes of an encoded row, and nothing else.
  ///
  /// - Parameter codes: one a column, each below `grid.levels.count`.
  func storeCodes(_ codes: UnsafePointer<UInt8>, columns: Int, into bytes: UnsafeMutableRawBufferPointer)
}

/// A ``GridCodec`` whose rows are blocks that know nothing of each other.
protocol BlockGridCodec: GridCodec {
  /// The scales and offsets of one block's groups.
  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>)
  /// Replaces the codes of one block.
  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>)
}

extension BlockGridCodec {
  func readScales(
    _ bytes: UnsafeRawBufferPointer, columns: Int, scales: UnsafeMutablePointer<Float>,
    offsets: UnsafeMutablePointer<Float>
  ) {
    guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
    let groups = format.blockSize / grid.groupLength
    for block in 0..<columns / format.blockSize {
      readScales(
        ofBlock: base + block * format.bytesPerBlock, scales + block * groups, offsets + block * groups)
    }
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, columns: Int, into bytes: UnsafeMutableRawBufferPointer) {
    guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
    for block in 0..<columns / format.blockSize {
      storeCodes(
        codes + block * format.blockSize, intoBlock: base + block * format.bytesPerBlock)
    }
  }
}

extension CodecList {
  /// The codec of `format` if its codes can be chosen apart from its scales.
  public static func gridCodec(for format: TensorFormat) -> (any GridCodec)? {
    codec(for: format) as? any GridCodec
  }
}
