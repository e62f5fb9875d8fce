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
    if let free = AtomicFile.freeSpace(at: path), free < layout.size {
      throw JobError(
        .inputOutput,
        "\(path): needs \(layout.size) bytes, the disk has \(free) left; name another place with -o")
    }
    let file = try AtomicFile(path: path)
    var sink = Counted(file: file, total: layout.size, observer: observer)
    try layout.write(to: &sink)
    try file.commit()
    return layout.size
  }

  /// All matrices in one format, vectors as they are.
  private func stored(_ checkpoint: Checkpoint, as format: TensorFormat) throws -> Checkpoint {
    let pass = QuantizePass(.format(format))
    return try pass.plan(for: checkpoint).reencode(checkpoint)
  }
}

/// Tells how much of a file is written.
private struct Counted: ByteSink {
  let file: AtomicFile
  let total: Int
  let observer: JobObserver
  var done = 0

  init(file: AtomicFile, total: Int, observer: @escaping JobObserver) {
    self.file = file
    self.total = total
    self.observer = observer
  }

  mutating func write(_ bytes: UnsafeRawBufferPointer) throws {
    try file.write(bytes)
    done += bytes.count
    observer(.progress(step: "make the model", fraction: Double(done) / Double(max(1, total))))
  }
}
