import Glibc
package import ModelFiles
import TensorCore
import WeightCodecs

extension StoredTensor {
  /// A vector of 32-bit floats.
  package init(name: String, vector: [Float]) {
    let region = ByteRegion(count: vector.count * 4) { target in
      vector.withUnsafeBytes { target.copyMemory(from: $0) }
    }
    self.init(name: name, shape: [vector.count], format: .f32, bytes: TensorBytes(region))
  }

  /// All elements as floats, in storage order.
  ///
  /// - Throws: ``ModelError`` when the format holds no weights; what loading throws.
  package func values() throws -> [Float] {
    let region = try bytes.load()
    guard let codec = CodecList.codec(for: format) else {
      throw ModelError(
        .unsupported, "", "tensor '\(name)' is stored as \(format.rawValue), which holds no weights")
    }
    if format.rowHeaderBytes > 0 {
      return try TensorCoding.decode(region, format: format, rows: rowCount, columns: rowLength).elements
    }
    return [Float](unsafeUninitializedCapacity: elementCount) { target, count in
      // A lazily made region has no owner but this one.
      withExtendedLifetime(region) { codec.decode(region.buffer, into: target) }
      count = elementCount
    }
  }

  /// The tensor with its rows in another order: row `r` of the result is row `order[r]` of this tensor.
  ///
  /// A vector counts as a column: its elements move. Rows are moved when the bytes are asked for, as they are stored,
  /// so this works for any format.
  ///
  /// - Precondition: `order` has one entry for each row, and a vector's format has blocks of one element.
  package func gatheringRows(_ order: [Int]) -> StoredTensor {
    let size = bytes.count / max(order.count, 1)
    let original = bytes
    var result = self
    result.bytes = TensorBytes(count: bytes.count) {
      let region = try original.load()
      defer { region.letGo() }
      return ByteRegion(count: region.count) { target in
        withExtendedLifetime(region) {
          guard let base = target.baseAddress else { return }
          for (place, row) in order.enumerated() {
            (base + place * size).copyMemory(from: region.base + row * size, byteCount: size)
          }
        }
      }
    }
    return result
  }

  /// The tensor with each element as a 32-bit float, made when the bytes are asked for.
  package func convertedToFloat32() -> StoredTensor {
    guard format != .f32 else { return self }
    let original = self
    var result = self
    result.format = .f32
    result.bytes = TensorBytes(count: elementCount * 4) {
      let values = try original.values()
      return ByteRegion(count: values.count * 4) { target in
        values.withUnsafeBytes { target.copyMemory(from: $0) }
      }
    }
    return result
  }

  /// The tensor with each element as a bfloat16 (the upper half of a 32-bit float, cut off), made when the bytes are
  /// asked for. Exact for 8-bit floats.
  package func convertedToBFloat16() -> StoredTensor {
    let original = self
    var result = self
    result.format = .bf16
    result.bytes = TensorBytes(count: elementCount * 2) {
      let halves = try original.values().map { UInt16($0.bitPattern >> 16).littleEndian }
      return ByteRegion(count: halves.count * 2) { target in
        halves.withUnsafeBytes { target.copyMemory(from: $0) }
      }
    }
    return result
  }

  /// Whether shape, format and every byte equal another tensor's.
  package func hasSameContents(as other: StoredTensor) throws -> Bool {
    guard shape == other.shape, format == other.format, bytes.count == other.bytes.count else { return false }
    // Tensors that differ mostly do so from the start, which is all of an artifact's that is decoded then.
    let (start, otherStart) = (try bytes.loadStart(1 << 16), try other.bytes.loadStart(1 << 16))
    guard start.base == otherStart.base || memcmp(start.base, otherStart.base, start.count) == 0 else {
      return false
    }
    let (mine, theirs) = (try bytes.load(), try other.bytes.load())
    return withExtendedLifetime((mine, theirs)) {
      mine.base == theirs.base || memcmp(mine.base, theirs.base, mine.count) == 0
    }
  }

  /// The shape as people write it: "512 × 64".
  package var shapeText: String { StoredTensor.text(shape) }

  /// A shape as people write it.
  package static func text(_ shape: [Int]) -> String {
    shape.isEmpty ? "a single number" : shape.map(String.init).joined(separator: " × ")
  }
}
