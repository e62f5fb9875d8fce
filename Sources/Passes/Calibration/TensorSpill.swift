import ModelFiles
import TensorCore

/// Finished tensors that wait to be packed: the first in memory, the others in a temporary file, so that what a pass holds
/// does not grow with the model.
final class TensorSpill {
  /// The bytes that stay in memory.
  static let memory = 48 << 20

  private var held = 0
  private var file: TemporaryFile?
  private var end = 0

  /// Nothing so far.
  init() {}

  /// The bytes of `region`, for later.
  ///
  /// - Throws: ``PassError`` when there is no room for them.
  func keep(_ region: ByteRegion) throws -> TensorBytes {
    if held + region.count <= Self.memory {
      held += region.count
      return TensorBytes(region)
    }
    let file = try self.file ?? TemporaryFile()
    self.file = file
    let (offset, count) = (end, region.count)
    try region.withBytes { try file.write($0, at: offset) }
    end += count
    return TensorBytes(count: count) {
      try ByteRegion(uninitializedCount: count) { try file.read(into: $0, at: offset) }
    }
  }
}
