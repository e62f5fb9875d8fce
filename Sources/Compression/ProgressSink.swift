internal import ModelFiles

/// Counts what goes into a file, and tells how much of it is written.
struct ProgressSink: ByteSink {
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
    observer(.progress(step: "write", fraction: Double(done) / Double(max(1, total))))
  }

  var takesPieces: Bool { file.takesPieces }

  mutating func write(count: Int, pieces make: TensorBytes.PieceMaker) throws {
    try file.write(count: count, pieces: make)
    done += count
    observer(.progress(step: "write", fraction: Double(done) / Double(max(1, total))))
  }

  /// Writes a whole file at `path`, or nothing.
  ///
  /// - Returns: its length.
  static func write(_ layout: ContainerLayout, to path: String, observer: @escaping JobObserver) throws -> Int
  {
    var sink = ProgressSink(file: try AtomicFile(path: path), total: layout.size, observer: observer)
    try layout.write(to: &sink)
    try sink.file.commit()
    return layout.size
  }
}
