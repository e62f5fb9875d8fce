import Synchronization
import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A file that appears under its name whole or not at all.
///
/// The bytes go to a hidden sibling `.NAME.partial-PID-N`; ``commit()`` flushes them to the disk, renames the sibling
/// over `NAME` and flushes the folder. So whoever opens `NAME` sees the old file or the complete new one, whatever
/// kills this process and whenever. A file that is let go without `commit()` leaves nothing behind.
public final class AtomicFile: ByteSink {
  /// The path that the file will have, as the caller gave it.
  public let path: String
  /// The number of bytes taken so far.
  public private(set) var byteCount = 0

  private let target: String  // behind links
  private let temporaryPath: String
  private var descriptor: Int32
  private var pending: [UInt8] = []
  private let failureAfter: Int?
  private static let pendingLimit = 1 << 18
  private static let sequence = Atomic<Int>(0)

  /// Starts a file that will be at `path`.
  ///
  /// - Throws: ``ModelFileError`` when something that is no regular file is there already, or the folder is missing or
  ///   read-only.
  public convenience init(path: String) throws { try self.init(path: path, failingAfter: nil) }

  /// Starts a file whose disk is "full" after `failingAfter` bytes; for tests of failures.
  package init(path: String, failingAfter: Int?) throws {
    self.path = path
    target = try AtomicFile.resolve(path)
    let (folder, name) = AtomicFile.split(target)
    (temporaryPath, descriptor) = try AtomicFile.createSibling(folder: folder, name: name, for: path)
    failureAfter = failingAfter
    AtomicFile.Litter.register(temporaryPath)
    var old = stat()
    if stat(target, &old) == 0 { fchmod(descriptor, old.st_mode & 0o777) }
  }

  deinit { discard() }

  /// Creates a file of a name that nobody has: another host or container may share the folder and our number.
  private static func createSibling(
    folder: String, name: String, for path: String
  ) throws -> (path: String, descriptor: Int32) {
    // 200 bytes of the name leave room for the rest within the 255 that file systems allow.
    let stem = String(decoding: name.utf8.prefix(200), as: UTF8.self)
    for _ in 0..<10_000 {
      let number = sequence.wrappingAdd(1, ordering: .relaxed).oldValue
      let candidate = "\(folder)/.\(stem).partial-\(getpid())-\(number)"
      let descriptor = open(candidate, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      if descriptor >= 0 { return (candidate, descriptor) }
      guard errno == EEXIST else { throw failure(errno, "create", path) }
    }
    throw failure(EEXIST, "create", path)
  }

  /// Takes the next bytes.
  ///
  /// - Throws: ``ModelFileError`` when they cannot be written, a full disk included; the partial file is gone then.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    precondition(descriptor >= 0, "write to a file that was committed or discarded")
    byteCount += bytes.count
    if pending.count + bytes.count <= AtomicFile.pendingLimit {
      pending.append(contentsOf: bytes)
    } else {
      try flush()
      try put(bytes)
    }
  }

  /// True: bytes can go to any place of a file.
  public var takesPieces: Bool { true }

  /// Takes the next `count` bytes, in pieces that `make` hands out in any order and on any thread.
  ///
  /// - Throws: what `make` throws; ``ModelFileError`` when bytes cannot be written. The partial file is gone then.
  public func write(count: Int, pieces make: TensorBytes.PieceMaker) throws {
    precondition(descriptor >= 0, "write to a file that was committed or discarded")
    try flush()
    let (start, file, path, limit) = (byteCount, descriptor, path, failureAfter)
    let written = Atomic<Int>(0)
    let wrong = ModelFileError(
      .badStructure, path: path, "a tensor's pieces are not the \(count) bytes that it promised")
    do {
      try make { place, bytes in
        guard place >= 0, bytes.count <= count - place else { throw wrong }
        if let limit, start + place + bytes.count > limit { throw AtomicFile.failure(ENOSPC, "write", path) }
        if let code = AtomicFile.put(bytes, into: file, at: start + place) {
          throw AtomicFile.failure(code, "write", path)
        }
        written.wrappingAdd(bytes.count, ordering: .relaxed)
      }
      guard written.load(ordering: .sequentiallyConsistent) == count else {
        throw wrong
      }
      guard lseek(file, start + count, SEEK_SET) >= 0 else { throw AtomicFile.failure(errno, "write", path) }
    } catch {
      discard()
      throw error
    }
    byteCount += count
  }

  /// Writes bytes to a place; nil, or the system's code.
  private static func put(_ bytes: UnsafeRawBufferPointer, into file: Int32, at place: Int) -> Int32? {
    var (left, place) = (bytes, place)
    while let base = left.baseAddress, !left.isEmpty {
      let done = pwrite(file, base, min(left.count, 1 << 30), place)
      if done < 0, errno == EINTR { continue }
      guard done > 0 else { return errno }
      left = UnsafeRawBufferPointer(rebasing: left[done...])
      place += done
    }
    return nil
  }

  /// Makes the file durable and gives it its name.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses; the partial file is gone then, and what was at ``path``
  ///   before is untouched.
  public func commit() throws {
    precondition(descriptor >= 0, "commit of a file that was committed or discarded")
    try flush()
    guard fsync(descriptor) == 0 else { throw fail("write") }
    let closed = close(descriptor)
    descriptor = -1
    guard closed == 0, rename(temporaryPath, target) == 0 else {
      let code = errno
      unlink(temporaryPath)
      throw AtomicFile.failure(code, closed == 0 ? "rename" : "write", path)
    }
    AtomicFile.syncFolder(AtomicFile.split(target).folder)
  }

  /// Deletes what was written; harmless after ``commit()``.
  public func discard() {
    guard descriptor >= 0 else { return }
    close(descriptor)
    descriptor = -1
    unlink(temporaryPath)
  }

  /// Writes `bytes` to `path`, whole or not at all.
  public static func write(_ bytes: some Collection<UInt8>, to path: String) throws {
    let file = try AtomicFile(path: path)
    try Array(bytes).withUnsafeBytes { try file.write($0) }
    try file.commit()
  }

  /// Writes `text` as UTF-8 to `path`, whole or not at all.
  public static func write(_ text: String, to path: String) throws { try write(Array(text.utf8), to: path) }

  private func flush() throws {
    guard !pending.isEmpty else { return }
    let bytes = pending
    pending.removeAll(keepingCapacity: true)
    try bytes.withUnsafeBytes { try put($0) }
  }

  private func put(_ bytes: UnsafeRawBufferPointer) throws {
    if let failureAfter, byteCount > failureAfter { throw fail("write", ENOSPC) }
    var left = bytes
    while let base = left.baseAddress, !left.isEmpty {
      let done = Self.systemWrite(descriptor, base, min(left.count, 1 << 30))
      if done < 0, errno == EINTR { continue }
      guard done > 0 else { throw fail("write") }
      left = UnsafeRawBufferPointer(rebasing: left[done...])
    }
  }

  private static func systemWrite(_ descriptor: Int32, _ base: UnsafeRawPointer, _ count: Int) -> Int {
    #if canImport(Glibc)
      Glibc.write(descriptor, base, count)
    #else
      Darwin.write(descriptor, base, count)
    #endif
  }

  private func fail(_ operation: String, _ code: Int32 = errno) -> ModelFileError {
    discard()
    return AtomicFile.failure(code, operation, path)
  }

  /// Makes a folder unless it is there.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses.
  package static func makeFolder(_ path: String) throws {
    guard mkdir(path, 0o777) != 0, errno != EEXIST else { return }
    throw failure(errno, "create", path)
  }

  /// Describes the system's `code`.
  package static func failure(_ code: Int32, _ operation: String, _ path: String) -> ModelFileError {
    switch code {
    case ENOSPC, EDQUOT:
      let cause = code == EDQUOT ? "the disk quota is used up" : "no space left on the disk"
      return ModelFileError(
        .system, path: path, "cannot \(operation): \(cause)",
        advice: "free some space, or name another folder with -o; no partial file was left")
    case EACCES, EPERM, EROFS:
      return ModelFileError(
        .system, path: path, "cannot \(operation): \(String(cString: strerror(code)))",
        advice: "name a folder that you may write to with -o")
    default:
      return ModelFileError(.system, path: path, "cannot \(operation): \(String(cString: strerror(code)))")
    }
  }

  /// The path behind a link, checked to be a place where a regular file can be.
  private static func resolve(_ path: String) throws -> String {
    var status = stat()
    guard stat(path, &status) == 0 else {
      guard errno == ENOENT else { throw failure(errno, "create", path) }
      return path
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      let what = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "no regular file"
      throw ModelFileError(.unsafeOutput, path: path, "cannot be replaced by a file: it is \(what)")
    }
    guard let real = realpath(path, nil) else { throw failure(errno, "resolve", path) }
    defer { free(real) }
    return String(cString: real)
  }

  /// The folder and the last component of `path`; the folder of a bare name is ".".
  static func split(_ path: String) -> (folder: String, name: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return (".", path) }
    let folder = String(path[..<slash])
    return (folder.isEmpty ? "/" : folder, String(path[path.utf8.index(after: slash)...]))
  }

  /// Some file systems cannot flush a folder; the rename is atomic there all the same.
  private static func syncFolder(_ folder: String) {
    let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }
}

// MARK: - Signals

extension AtomicFile {
  /// Makes SIGINT, SIGTERM and SIGHUP delete the partial files of this process before it ends with 128 + the signal's
  /// number (130, 143, 129). A signal that was ignored at the start (`nohup`) stays ignored.
  public static func removeLitterOnSignals() { Litter.watch() }

  /// Deletes the partial files of this process, for a program that ends itself.
  public static func removeLitter() { Litter.remove() }

  /// Names to delete when a signal ends the process.
  ///
  /// A signal may arrive at any instruction, so the handler may neither lock nor allocate: it walks a list that only
  /// grows, whose nodes and C strings are never freed (some hundred bytes for each file of a process). Deleting a
  /// name whose file was renamed already fails, and harms nothing: no other file ever has that name.
  fileprivate enum Litter {
    struct Node {
      var name: UnsafeMutablePointer<CChar>
      var next: UInt
    }

    /// The newest node's address, 0 for none.
    static let head = Atomic<UInt>(0)

    static func register(_ path: String) {
      guard let name = strdup(path) else { return }
      let node = UnsafeMutablePointer<Node>.allocate(capacity: 1)
      node.initialize(to: Node(name: name, next: head.load(ordering: .acquiring)))
      while true {
        let (done, seen) = head.compareExchange(
          expected: node.pointee.next, desired: UInt(bitPattern: node), ordering: .acquiringAndReleasing)
        if done { return }
        node.pointee.next = seen
      }
    }

    static func remove() {
      var address = head.load(ordering: .acquiring)
      while let node = UnsafePointer<Node>(bitPattern: address) {
        unlink(node.pointee.name)
        address = node.pointee.next
      }
    }

    static func watch() {
      _ = head.load(ordering: .acquiring)  // the list exists before the first signal can come
      for number in [SIGINT, SIGTERM, SIGHUP] {
        let before = signal(number) { number in
          Litter.remove()
          _exit(128 + number)
        }
        if unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) {
          signal(number, SIG_IGN)
        }
      }
    }
  }
}
