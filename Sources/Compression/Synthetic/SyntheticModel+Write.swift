internal import ModelFiles
internal import Models
internal import Passes
internal import TensorCore

extension SyntheticModel {
  /// Writes the model to `path`: safetensors where the name ends in .safetensors, else GGUF. One tensor is in memory at a time.
  ///
  /// - Returns: the file's length.
  /// - Throws: ``JobError`` when the container has no such format, or the disk has no room; ``ModelFileError``.
  @discardableResult
  public func write(to path: String, observer: @escaping JobObserver = { _ in }) throws -> Int {
    let container: OutputContainer = path.hasSuffix(".safetensors") ? .safetensors : .gguf
    var checkpoint = try checkpoint()
    if let format, format != .bf16 { checkpoint = try stored(checkpoint, as: format) }
    let layout = try ContainerOutput.layout(of: checkpoint, in: container)
    try OutputPlace.requireSpace(layout.size, at: path)
    return try ProgressSink.write(layout, to: path, observer: observer)
  }

  /// All matrices in one format, vectors as they are.
  private func stored(_ checkpoint: Checkpoint, as format: TensorFormat) throws -> Checkpoint {
    let pass = QuantizePass(.format(format))
    return try pass.plan(for: checkpoint).reencode(checkpoint)
  }
}
