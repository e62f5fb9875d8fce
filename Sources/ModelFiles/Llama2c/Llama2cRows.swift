import TensorCore

/// Reads a tensor of a llama2.c file as float32 in Hugging Face's layout.
///
/// llama2.c rotates neighbouring pairs of a head (2i, 2i + 1), Hugging Face pairs from the two halves (i, i + size / 2). So row i of a
/// head there is row 2i here, and row i + size / 2 is row 2i + 1.
struct Llama2cRows {
  private let tensor: Llama2cTensor
  private let groupSize: Int

  /// A reader for `tensor`; `groupSize` weights share a scale if it is quantized.
  init(_ tensor: Llama2cTensor, groupSize: Int) {
    self.tensor = tensor
    self.groupSize = groupSize
  }

  /// The tensor's bytes out of `file`, which is as long as its header says.
  func bytes(of file: ByteRegion) -> TensorBytes {
    let count = tensor.elementCount * 4
    if tensor.scales == nil && tensor.rotatedHeads == 0 {
      let slice = file.slice(tensor.start..<tensor.start + count)
      if Int(bitPattern: slice.base) % 4 == 0 { return TensorBytes(slice) }
    }
    return TensorBytes(count: count) {
      ByteRegion(count: count) { target in
        let rows = tensor.shape.count > 1 ? tensor.shape[0] : 1
        let columns = tensor.elementCount / rows
        for row in 0..<rows {
          let part = UnsafeMutableRawBufferPointer(
            rebasing: target[row * columns * 4..<(row + 1) * columns * 4])
          read(from: file, first: storedRow(row) * columns, count: columns, into: part)
        }
      }
    }
  }

  /// The file's row that holds Hugging Face's row `row`.
  private func storedRow(_ row: Int) -> Int {
    guard tensor.rotatedHeads > 0 else { return row }
    let size = tensor.shape[0] / tensor.rotatedHeads
    let (head, place) = row.quotientAndRemainder(dividingBy: size)
    let (half, pair) = place.quotientAndRemainder(dividingBy: size / 2)
    return head * size + 2 * pair + half
  }

  /// Reads `count` weights from the one numbered `first`.
  private func read(from file: ByteRegion, first: Int, count: Int, into target: UnsafeMutableRawBufferPointer)
  {
    guard let scales = tensor.scales else {
      let source = UnsafeRawBufferPointer(start: file.base + tensor.start + 4 * first, count: 4 * count)
      return target.copyMemory(from: source)
    }
    var place = 0
    while place < count {
      // Groups run on over the ends of rows.
      let group = (first + place) / groupSize
      let end = min(count, (group + 1) * groupSize - first)
      let bits = file.base.loadUnaligned(fromByteOffset: scales + 4 * group, as: UInt32.self)
      let scale = Float(bitPattern: UInt32(littleEndian: bits))
      let weights = file.base + tensor.start + first
      for index in place..<end {
        let weight = Float(weights.load(fromByteOffset: index, as: Int8.self))
        target.storeBytes(of: weight * scale, toByteOffset: 4 * index, as: Float.self)
      }
      place = end
    }
  }
}
