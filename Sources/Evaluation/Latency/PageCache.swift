import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What the system keeps of files in memory.
public enum PageCache {
  /// Asks the system to let go of the file at `path`.
  ///
  /// - Returns: whether nothing of it is in memory any more: a file in a memory file system, or one that another process has
  ///   mapped, stays.
  public static func drop(_ path: String) -> Bool {
    #if os(Linux)
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { return false }
      defer { close(descriptor) }
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_size > 0 else { return false }
      // What was just written has to reach the disk first.
      fdatasync(descriptor)
      guard posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) == 0 else { return false }
      return isAbsent(descriptor, Int(status.st_size))
    #else
      return false
    #endif
  }

  #if os(Linux)
    private static func isAbsent(_ descriptor: Int32, _ size: Int) -> Bool {
      guard let base = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), base != MAP_FAILED else {
        return false
      }
      defer { munmap(base, size) }
      let page = max(1, Int(sysconf(Int32(_SC_PAGESIZE))))
      var pages = [UInt8](repeating: 1, count: (size + page - 1) / page)
      guard mincore(base, size, &pages) == 0 else { return false }
      return pages.allSatisfy { $0 & 1 == 0 }
    }
  #endif
}
