internal import ModelFiles
internal import TensorCore

extension StoredTensor {
  /// The tensor in a format that GGUF has a type for, where no value is lost: masks and counters of models that are unknown
  /// to us are kept, as signed integers wide enough. Other tensors stay as they are.
  func widenedForGGUF() -> StoredTensor {
    switch format {
    case .bool: retyped(.i8)
    case .u8: widened(to: .i16)
    case .u16: widened(to: .i32)
    case .u32: widened(to: .i64)
    default: self
    }
  }

  /// The same bytes under another name: booleans are stored as 0 and 1.
  private func retyped(_ target: TensorFormat) -> StoredTensor {
    var result = self
    result.format = target
    return result
  }

  /// Every element followed by as many zero bytes as it has itself: unsigned, little endian.
  private func widened(to target: TensorFormat) -> StoredTensor {
    let (original, width) = (bytes, format.bytesPerBlock)
    var result = self
    result.format = target
    result.bytes = TensorBytes(count: original.count * 2) {
      let region = try original.load()
      return ByteRegion(count: region.count * 2) { memory in
        region.withBytes { source in
          for (place, byte) in source.enumerated() {
            memory[place / width * 2 * width + place % width] = byte
          }
        }
      }
    }
    return result
  }
}
